/** A sample's own page. */

import { mountSteps } from "./steps.js";

mountSteps(document);
