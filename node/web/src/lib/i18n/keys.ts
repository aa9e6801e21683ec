// Where the text of a name is: under the name itself, or at the place that the build gave it.

export const at = (key: string): string => key;
