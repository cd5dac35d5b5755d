// Begins everything: token, what the server is, the live picture, and which page stands where.

import { get } from "./lib/api.js";
import { announce } from "./lib/announce.js";
import { put } from "./lib/dom.js";
import { setClock, startTimes } from "./lib/format.js";
import { takeToken } from "./lib/session.js";
import { Store } from "./lib/store.js";
import { View } from "./lib/view.js";
import { allowActions } from "./ui/acting.js";
import { shell } from "./ui/shell.js";
import { failure, loading } from "./ui/states.js";
import { agentPage } from "./pages/agent.js";
import { alertsPage } from "./pages/alerts.js";
import { analyticsPage } from "./pages/analytics.js";
import { approvalsPage } from "./pages/approvals.js";
import { capacityPage } from "./pages/capacity.js";
import { deadPage, letterPage } from "./pages/dead.js";
import { incidentPage } from "./pages/incident.js";
import { incidentsPage } from "./pages/incidents.js";
import { lostPage } from "./pages/lost.js";
import { overviewPage } from "./pages/overview.js";
import { pausesPage } from "./pages/pauses.js";
import { strategiesPage } from "./pages/strategies.js";

/** @type {[RegExp, string, (view: View, ...parts: string[]) => void][]} address, place in the navigation, page */
const ROUTES = [
  [/^$/, "", overviewPage],
  [/^agents\/([^/]+)\/([^/]+)$/, "", agentPage],
  [/^incidents$/, "incidents", incidentsPage],
  [/^incidents\/([^/]+)$/, "incidents", incidentPage],
  [/^approvals$/, "approvals", approvalsPage],
  [/^alerts$/, "alerts", alertsPage],
  [/^pauses$/, "pauses", pausesPage],
  [/^strategies$/, "strategies", strategiesPage],
  [/^analytics$/, "analytics", analyticsPage],
  [/^capacity$/, "capacity", capacityPage],
  [/^dead$/, "dead", deadPage],
  [/^dead\/(\d+)$/, "dead", letterPage],
];

const frame = /** @type {Element} */ (document.getElementById("frame"));

async function begin() {
  takeToken();
  put(frame, loading(3));
  let meta;
  try {
    meta = await get("meta");
  } catch (error) {
    put(frame, failure(error, begin));
    return;
  }
  setClock(meta.now_unix_nano);
  run(meta);
}

/** @param {any} meta */
function run(meta) {
  const store = new Store();
  /** @type {View | null} */
  let view = null;
  const again = () => {
    store.stream.last = "";
    store.stream.again();
    show(false);
  };
  allowActions(meta, again);
  const around = shell(store, meta, again);

  /** @param {boolean} focus */
  function show(focus) {
    const parts = location.hash.replace(/^#\/?/, "").split("?")[0].replace(/\/$/, "");
    const [, place, page] = ROUTES.find(([address]) => address.test(parts)) ?? [/^$/, "none", lostPage];
    const found = ROUTES.find(([address]) => address.test(parts))?.[0].exec(parts) ?? [];
    view?.end();
    view = new View(store, meta);
    store.stream.setWatch("");
    page(view, ...[...found].slice(1).map(decodeURIComponent));
    put(around.host, view.element);
    around.current(place);
    document.title = view.title === "Mendbus" ? "Mendbus" : `${view.title} · Mendbus`;
    if (!focus) return;
    scrollTo(0, 0);
    // The heading is where a screen reader goes on; without this it would stay where the link was.
    /** @type {HTMLElement | null} */ (view.element.querySelector("h1"))?.focus({ preventScroll: true });
  }

  addEventListener("hashchange", () => {
    if (location.hash.includes("token=")) {
      takeToken();
      again();
    } else show(true);
  });
  // Neither says whether this server is reached: to connect anew does.
  for (const name of ["online", "offline"]) addEventListener(name, () => store.stream.again());
  announce(store);
  startTimes();
  show(false);
  void store.stream.run();
}

void begin();
