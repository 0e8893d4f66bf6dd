/** A method's page: its formulas are set. */

import { setMath } from "../run/math.js";

setMath([...document.querySelectorAll(".equations")]);
