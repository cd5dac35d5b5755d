// An address that leads nowhere.

import { h, put } from "../lib/dom.js";
import { head } from "../ui/parts.js";
import { empty } from "../ui/states.js";

/** @param {import("../lib/view.js").View} view */
export function lostPage(view) {
  view.title = "No such page";
  put(
    view.element,
    head("No such page"),
    empty("There is nothing at this address", ""),
    h("p", null, h("a", { href: "#/" }, "To the overview")),
  );
}
