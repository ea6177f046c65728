/** A MAC address in any notation as the server answers it; null for anything else. */
export function macOf(text: string): string | null {
  const digits = text.replace(/[-:.]/g, "");
  return /^[0-9a-f]{12}$/i.test(digits) ? digits.toUpperCase().match(/../g)!.join(":") : null;
}
