import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { setLanguage } from './lib/i18n/index.svelte';
import { router } from './lib/state/router.svelte';
import { session, setTheme } from './lib/state/session.svelte';

async function start(target: HTMLElement): Promise<void> {
  setTheme('auto');
  session.start(); // takes the token out of the address, which the router then cleans
  router.start();
  await setLanguage('auto', navigator.languages).catch(() => undefined);
  mount(App, { target });
}

const target = document.getElementById('app');
if (target) void start(target);
