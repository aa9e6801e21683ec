// Tells an invite, as code or as link, from a pseudonym.

export function isInvite(text: string): boolean {
  return /^(shoal:\s*)?shoal-invite1/i.test(text.trim());
}
