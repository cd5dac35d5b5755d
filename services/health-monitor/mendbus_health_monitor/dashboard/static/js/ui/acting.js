// Dialogs in which people act: who, why, and what the action needs; what came of it is said at the end.

import { act, get } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { operator, setOperator, setToken, token } from "../lib/session.js";

/**
 * @typedef {{name: string, label: string, kind?: "text" | "area" | "choice", options?: [string, string][], value?: string, needed?: boolean, hint?: string}} Field
 * @typedef {object} Deed
 * @property {string} verb of the action
 * @property {string} title
 * @property {string} [what] on what it is done
 * @property {Record<string, unknown>} body
 * @property {Field[]} [fields]
 * @property {string} go the button's text
 * @property {"needed" | "asked" | "none"} [reason]
 * @property {(result: any) => void} [done]
 */

let allowed = true;
let forbidden = "";
/** @type {() => void} */
let identified = () => {};

/** @param {any} meta @param {() => void} onToken another token is in use */
export function allowActions(meta, onToken) {
  allowed = meta.actions;
  forbidden = meta.actions_why ?? "";
  identified = onToken;
}

/** A button for a deed; off, with the reason, where the server allows none. @param {string} text @param {() => Deed} deed @param {string} [kind] */
export function actButton(text, deed, kind = "small") {
  return h(
    "button",
    {
      type: "button",
      class: `button ${kind}`,
      disabled: !allowed,
      title: allowed ? null : `Actions are off: ${forbidden}`,
      onclick: () => perform(deed()),
    },
    text,
  );
}

/** @param {string} text @param {boolean} [bad] */
export function toast(text, bad = false) {
  const host = /** @type {Element} */ (document.getElementById("toasts"));
  const one = h("div", { class: bad ? "toast bad" : "toast" }, text);
  host.append(one);
  setTimeout(() => one.remove(), 6000);
}

/** @param {Field} field */
function input(field) {
  const shared = { name: field.name, required: field.needed };
  const control =
    field.kind === "choice"
      ? h(
          "select",
          shared,
          (field.options ?? []).map(([value, text]) => h("option", { value, selected: value === field.value }, text)),
        )
      : field.kind === "area"
        ? h("textarea", { ...shared, maxlength: 1000 }, field.value ?? "")
        : h("input", {
            ...shared,
            type: field.name === "token" ? "password" : "text",
            value: field.value ?? "",
            maxlength: field.name === "token" ? 512 : 200,
            autocomplete: "off",
            spellcheck: "false",
          });
  return h(
    "label",
    { class: "field" },
    h("span", null, field.label, !field.needed && field.kind !== "choice" && h("em", null, " (optional)")),
    control,
    field.hint && h("span", null, field.hint),
  );
}

/** @param {Field[]} fields @param {string} title @param {string} what @param {string} go @param {(values: Record<string, string>) => Promise<void>} send */
function ask(fields, title, what, go, send) {
  const said = h("p", { class: "said", role: "alert", hidden: true });
  const confirm = h("button", { class: "button main", type: "submit" }, go);
  const form = h(
    "form",
    { novalidate: true },
    h("h2", { id: "asking" }, title),
    what && h("p", { class: "quiet any" }, what),
    fields.map(input),
    said,
    h(
      "div",
      { class: "bar" },
      confirm,
      h("button", { class: "button plain", type: "button", onclick: () => dialog.close() }, "Cancel"),
    ),
  );
  const dialog = h("dialog", { "aria-labelledby": "asking" }, form);
  const refuse = (/** @type {string} */ text, /** @type {string} */ name) => {
    said.hidden = false;
    said.textContent = text;
    form.elements.namedItem(name)?.focus();
  };
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    const values = /** @type {Record<string, string>} */ (
      Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value).trim()]))
    );
    const missing = fields.find((one) => one.needed && !values[one.name]);
    if (missing) return refuse(`${missing.label} is needed.`, missing.name);
    confirm.disabled = true;
    said.hidden = true;
    try {
      await send(values);
      dialog.close();
    } catch (error) {
      const failed = /** @type {any} */ (error);
      if (failed.status === 401) askToken(form, fields);
      refuse(
        failed.status === 401 ? `The token was refused: ${failed.message}` : failed.message,
        failed.status === 401 ? "token" : (fields[0]?.name ?? ""),
      );
    } finally {
      confirm.disabled = false;
    }
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  const first = fields.find((one) => !one.value) ?? fields[0];
  form.elements.namedItem(first?.name ?? "")?.focus();
}

const TOKEN = /** @type {Field} */ ({
  name: "token",
  label: "Token",
  needed: true,
  hint: "It stands in the address that mendbus up prints, after #token=.",
});

/** @param {HTMLFormElement} form @param {Field[]} fields */
function askToken(form, fields) {
  if (form.elements.namedItem("token")) return;
  fields.unshift(TOKEN);
  form.querySelector(".field")?.before(input(TOKEN));
}

/** Asks what is missing, and does it. @param {Deed} deed */
export function perform(deed) {
  /** @type {Field[]} */
  const fields = [
    ...(token() ? [] : [TOKEN]),
    ...(deed.fields ?? []),
    { name: "by", label: "Your name", value: operator(), needed: true },
  ];
  if (deed.reason !== "none")
    fields.push({
      name: "reason",
      label: "Reason",
      kind: "area",
      needed: deed.reason === "needed",
      hint: "It stands in the audit trail.",
    });
  ask(fields, deed.title, deed.what ?? "", deed.go, async ({ token: given, scope, ...values }) => {
    const before = token();
    if (given) setToken(given);
    setOperator(values.by);
    const sent = Object.fromEntries(Object.entries(values).filter(([, value]) => value));
    let result;
    try {
      result = await act(deed.verb, { ...deed.body, ...scoped(scope), ...sent });
    } catch (error) {
      setToken(before);
      throw error;
    }
    if (given) identified();
    toast(`${deed.title}: ${result.detail ?? "done"}`);
    deed.done?.(result);
  });
}

/** What a choice of `name=value` stands for. @param {string | undefined} scope */
function scoped(scope) {
  const end = scope?.indexOf("=") ?? -1;
  return scope && end > 0 ? { [scope.slice(0, end)]: scope.slice(end + 1) } : {};
}

/** Asks for the token alone. @param {() => void} done */
export function signIn(done) {
  ask(
    [{ ...TOKEN }, { name: "by", label: "Your name", value: operator(), needed: true }],
    "Token and name",
    "Reading needs no token on this machine; acting does.",
    "Use them",
    async (values) => {
      const before = token();
      setToken(values.token);
      const meta = await get("meta");
      if (meta.token_ok === false) {
        setToken(before);
        throw Object.assign(new Error("It is not the token of this server."), { status: 401 });
      }
      setOperator(values.by);
      done();
    },
  );
}
