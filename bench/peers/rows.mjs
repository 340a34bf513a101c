// One durable row of a push: on disk when `keep` returns, as the bot's is. It holds what decides, without the body.
import Database from "better-sqlite3";

const rows = new Database(process.env.DATABASE);
rows.pragma("journal_mode = WAL");
rows.pragma("synchronous = FULL");
rows.exec(`CREATE TABLE delivery (
  guid TEXT PRIMARY KEY, repository INTEGER, ref TEXT, before TEXT, after TEXT, pushed_at INTEGER, received INTEGER)`);
const insert = rows.prepare("INSERT INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?)");

export function keep({ id, payload: { ref, before, after, repository } }) {
  insert.run(id, repository.id, ref, before, after, repository.pushed_at, Date.now());
}
