/** What the page says to its script: addresses, who is logged in, and every sentence in the user's language. */

import { Trouble, type Values } from "./core/trouble.ts";

function found(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

/** The element of that id. */
export function the<T extends HTMLElement>(id: string, kind: new () => T): T {
  const element = found(id);
  if (!(element instanceof kind)) throw new Error(`#${id} is another element`);
  return element;
}

const { page: name = "", api = "", csrf = "", user = "" } = found("client").dataset;
export const page = { name, api, csrf, user };
const texts: Record<string, string> = JSON.parse(found("client-texts").textContent);

/** A sentence of the page's, with values in its {places}. */
export function text(code: string, values: Values = {}): string {
  const shown = (one: string | number) => (typeof one === "number" ? number(one) : one);
  return (texts[code] ?? texts.failed ?? code).replace(/\{(\w+)\}/g, (_, key: string) => shown(values[key] ?? ""));
}

export function number(value: number, digits = 6): string {
  return value.toLocaleString(document.documentElement.lang, { maximumSignificantDigits: digits });
}

/** Says something in the page's status line. */
export function say(code: string, values: Values = {}, kind: "" | "error" | "success" = ""): void {
  const status = found("client-status");
  status.className = kind ? `note ${kind}` : "note";
  status.textContent = text(code, values);
}

/** Says what went wrong. */
export function complain(error: unknown): void {
  if (error instanceof Trouble) say(error.code, error.values, "error");
  else say("failed", {}, "error");
}

/** An element with attributes and content. */
export function make<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Record<string, string> = {}, ...content: (Node | string)[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...content);
  return element;
}

/** Offers a text made here as a file. */
export function download(fileName: string, content: string, type: string): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = make("a", { href: address, download: fileName });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Runs what a person asked for with the button off, and says what went wrong. */
export async function during(button: HTMLButtonElement, work: () => Promise<void>): Promise<void> {
  button.disabled = true;
  try {
    await work();
  } catch (error) {
    complain(error);
  } finally {
    button.disabled = false;
    if (document.activeElement === document.body) button.focus(); // a button that is off loses the focus
  }
}
