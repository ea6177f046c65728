/** Return a MAC address in the server's notation. Returns null if the text is not a MAC address. */
export function normalizeMac(text: string): string | null {
  const digits = text.replace(/[-:.]/g, "");
  return /^[0-9a-f]{12}$/i.test(digits) ? digits.toUpperCase().match(/../g)!.join(":") : null;
}
