// Who is at the page: the token, which ends with the tab, and the name that stands in the audit trail.

const TOKEN = "mendbus.token";
const NAME = "mendbus.by";

/** @param {Storage} storage @param {string} key @returns {string} */
function read(storage, key) {
  try {
    return storage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

/** @param {Storage} storage @param {string} key @param {string} value */
function write(storage, key, value) {
  try {
    if (value) storage.setItem(key, value);
    else storage.removeItem(key);
  } catch {
    // A browser that keeps nothing: it holds until the page is left.
  }
}

let held = "";

/** Takes the token out of the address (`#token=...`), so that it is in no history and no screenshot. */
export function takeToken() {
  held = read(sessionStorage, TOKEN);
  const found = /(?:^#|[#&])token=([^&]+)&?/.exec(location.hash);
  if (!found) return;
  setToken(decodeURIComponent(found[1]));
  history.replaceState(
    null,
    "",
    location.pathname + location.search + (location.hash.replace(found[0], "#").replace(/^#$/, "") || "#/"),
  );
}

export const token = () => held;

/** @param {string} value */
export function setToken(value) {
  held = value.trim();
  write(sessionStorage, TOKEN, held);
}

export const operator = () => read(localStorage, NAME);

/** @param {string} name */
export const setOperator = (name) => write(localStorage, NAME, name.trim());

/** @returns {"system" | "light" | "dark"} */
export function theme() {
  const chosen = read(localStorage, "mendbus.theme");
  return chosen === "light" || chosen === "dark" ? chosen : "system";
}

/** @param {"system" | "light" | "dark"} name */
export function setTheme(name) {
  write(localStorage, "mendbus.theme", name === "system" ? "" : name);
  dispatchEvent(new Event("mendbus-theme"));
}
