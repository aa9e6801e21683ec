import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { router } from './lib/state/router.svelte';
import { session } from './lib/state/session.svelte';

const target = document.getElementById('app');
if (target) {
  session.start(); // takes the token out of the address, which the router then cleans
  router.start();
  mount(App, { target });
}
