import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { MOMO } from './lib/art/momo';
import { svg } from './lib/art/shapes';
import { setLanguage } from './lib/i18n/index.svelte';
import { router } from './lib/state/router.svelte';
import { session, setTheme } from './lib/state/session.svelte';

function start(target: HTMLElement): void {
  setTheme('auto');
  const icon = document.querySelector<HTMLLinkElement>('link[rel=icon]');
  if (icon) icon.href = `data:image/svg+xml,${encodeURIComponent(svg(MOMO))}`;
  session.start(); // takes the token out of the address, which the router then cleans
  router.start();
  void setLanguage('auto', navigator.languages); // the creature that is painted first has no words
  mount(App, { target });
}

const target = document.getElementById('app');
if (target) start(target);
