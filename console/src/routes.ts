// The addresses of the console.
import { Router } from '@terrace/site';

export const router = new Router({
  overview: '/',
  tenants: '/tenants',
  tenant: '/tenants/:tenant',
  services: '/services',
  service: '/services/:service',
  sites: '/sites',
  clusters: '/clusters',
});
