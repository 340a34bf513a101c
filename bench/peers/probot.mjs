// An app of probot's, as its documentation has it; `probot run` serves it.
import { keep } from "./rows.mjs";

export default (app) => {
  app.on("push", keep);
};
