/** What a person is told: a code that the page has a sentence for, in their language, and what goes into it. */

export type Values = Record<string, string | number>;

export class Trouble extends Error {
  constructor(
    readonly code: string,
    readonly values: Values = {},
  ) {
    super(code);
  }
}
