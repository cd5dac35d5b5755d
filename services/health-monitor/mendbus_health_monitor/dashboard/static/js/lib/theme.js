/* Sets the theme before anything is drawn: what was chosen here, else what the system prefers. No module, so that it runs at once. */
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return localStorage.getItem("mendbus.theme");
    } catch {
      return null;
    }
  };
  const apply = () => {
    const name = chosen();
    document.documentElement.dataset.theme =
      name === "light" || name === "dark" ? name : dark.matches ? "dark" : "light";
  };
  dark.addEventListener("change", apply);
  addEventListener("mendbus-theme", apply);
  apply();
})();
