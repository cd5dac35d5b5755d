// Names of controls, captions, scopes, landmarks, single ids, and nothing wider than the window: what is wrong, in sentences.
() => {
  const wrong = [];
  const name = (el) =>
    (el.getAttribute("aria-label") || el.labels?.[0]?.textContent || el.textContent || el.title || "").trim();
  for (const el of document.querySelectorAll("a[href], button, input, select, textarea"))
    if (el.checkVisibility() && !name(el)) wrong.push(`no name: ${el.outerHTML.slice(0, 120)}`);
  for (const el of document.querySelectorAll("img")) if (!el.hasAttribute("alt")) wrong.push("an image without alt");
  for (const el of document.querySelectorAll("svg[role=img]"))
    if (!el.getAttribute("aria-label")) wrong.push("a chart without a label");
  for (const el of document.querySelectorAll("table"))
    if (!el.caption?.textContent) wrong.push("a table without a caption");
  for (const el of document.querySelectorAll("th"))
    if (!el.scope) wrong.push(`a heading without a scope: ${el.textContent}`);
  const ids = [...document.querySelectorAll("[id]")].map((el) => el.id);
  for (const id of new Set(ids)) if (ids.filter((one) => one === id).length > 1) wrong.push(`an id twice: ${id}`);
  if (document.querySelectorAll("h1").length !== 1)
    wrong.push(`${document.querySelectorAll("h1").length} first headings`);
  for (const where of ["main", "nav"]) if (!document.querySelector(where)) wrong.push(`no ${where}`);
  if (!document.documentElement.lang) wrong.push("no language");
  if (document.documentElement.scrollWidth > innerWidth)
    wrong.push(`${document.documentElement.scrollWidth - innerWidth} pixels too wide`);
  return wrong;
};
