/** The browser's client of the prediction portal: starts what the page is for. */

import { complain, page, say } from "./page.ts";
import { jobsPage } from "./pages/jobs.ts";
import { keysPage } from "./pages/keys.ts";
import { predictPage } from "./pages/predict.ts";

const pages: Record<string, () => Promise<void>> = { predict: predictPage, keys: keysPage, jobs: jobsPage };

if (typeof WebAssembly === "undefined" || !globalThis.crypto?.subtle) say("no-webassembly", {}, "error");
else pages[page.name]?.().catch(complain);
