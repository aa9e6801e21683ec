// What is not needed to read and write: in a file of their own that is fetched when the page is at rest.

export { default as details } from './chat/Details.svelte';
export { default as viewer } from './chat/Viewer.svelte';
export { default as confirm } from '../lib/ui/Confirm.svelte';
export { default as timer } from './chat/Timer.svelte';
export { default as linkability } from './Linkability.svelte';
export { default as network } from './Network.svelte';
export { default as new } from './NewContact.svelte';
export { default as personas } from './Personas.svelte';
export { default as requests } from './Requests.svelte';
export { default as settings } from './Settings.svelte';
