/** The portal's HTTP API, with the session's cookie and the form token. */

import { Manifest, type ManifestFields } from "./core/manifest.ts";
import { Trouble } from "./core/trouble.ts";
import { page } from "./page.ts";

export interface KeysThere {
  id: string;
  fingerprint: string;
  parameters: string;
}

export interface Job {
  id: string;
  model: string;
  key: string;
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  progress: number;
  rows: number;
  error: string | null;
}

const BYTES = "application/octet-stream";
const FIRST_WAIT = 100, LONGEST_WAIT = 2000; // milliseconds between two looks at a job

async function call(path: string, how: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(page.api + path, { credentials: "same-origin", ...how, headers: { "X-CSRFToken": page.csrf } });
  } catch {
    throw new Trouble("no-connection");
  }
  if (!answer.ok) throw refusal(await answer.text());
  return answer;
}

/** The site says what is wrong in the user's language: that is shown as it is. */
function refusal(text: string): Trouble {
  try {
    return new Trouble("refused", { message: String(JSON.parse(text).message) });
  } catch {
    return new Trouble("no-connection");
  }
}

/** Sends bytes; fetch cannot tell how far an upload is, so that this is an XMLHttpRequest. */
function upload<T>(path: string, bytes: Uint8Array<ArrayBuffer>, progress: (done: number) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", page.api + path);
    request.setRequestHeader("Content-Type", BYTES);
    request.setRequestHeader("X-CSRFToken", page.csrf);
    request.upload.onprogress = ({ loaded, total }) => progress(total ? loaded / total : 0);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve(JSON.parse(request.responseText) as T);
      else reject(refusal(request.responseText));
    };
    request.onerror = () => reject(new Trouble("no-connection"));
    request.send(bytes);
  });
}

export async function keysThere(): Promise<KeysThere[]> {
  return (await call("/keys")).json();
}

export function sendKeys(bytes: Uint8Array<ArrayBuffer>, progress: (done: number) => void): Promise<KeysThere> {
  return upload("/keys", bytes, progress);
}

export async function revokeKeys(id: string): Promise<void> {
  await call(`/keys/${id}`, { method: "DELETE" });
}

export function sendQuery(model: string, key: string, query: Uint8Array<ArrayBuffer>, progress: (done: number) => void): Promise<Job> {
  return upload(`/jobs?${new URLSearchParams({ model, key })}`, query, progress);
}

/** The job at its end; it is asked for more and more seldom. */
export async function finished(job: Job, progress: (job: Job) => void): Promise<Job> {
  for (let wait = FIRST_WAIT; job.state === "queued" || job.state === "running"; wait = Math.min(1.5 * wait, LONGEST_WAIT)) {
    progress(job);
    await new Promise((resolve) => setTimeout(resolve, wait));
    job = await (await call(`/jobs/${job.id}`)).json();
  }
  if (job.state !== "done") throw new Trouble("refused", { message: job.error ?? job.state });
  return job;
}

export async function result(id: string): Promise<Uint8Array> {
  return new Uint8Array(await (await call(`/jobs/${id}/result`)).arrayBuffer());
}

export async function manifestOf(model: string): Promise<ManifestFields> {
  return (await (await call(`/models/${model}`)).json()).manifest;
}

/** Every model's manifest. */
export async function manifests(): Promise<Manifest[]> {
  const listed: { name: string }[] = await (await call("/models")).json();
  return Promise.all(listed.map(async ({ name }) => Manifest.from(await manifestOf(name))));
}
