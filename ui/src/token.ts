/** The token, kept as long as the tab is; GraphiQL takes it from the same place. */

const KEY = "netsessions.token";

export const token = (): string | null => sessionStorage.getItem(KEY);

export const keepToken = (given: string): void => sessionStorage.setItem(KEY, given);

export const forgetToken = (): void => sessionStorage.removeItem(KEY);
