// GitHub's own receiver for Node.js, as its README has it: verify, decode, call the handler, answer.
import { createServer } from "node:http";
import { createNodeMiddleware, Webhooks } from "@octokit/webhooks";
import { keep } from "./rows.mjs";

const webhooks = new Webhooks({ secret: process.env.WEBHOOK_SECRET });
webhooks.on("push", keep);
createServer(createNodeMiddleware(webhooks)).listen(process.env.PORT, "127.0.0.1");
