// Everything the console asks of the control API, over the generated client. It can do nothing that the API cannot.
import type { LiveStatus, Subscription } from '@terrace/client';
import {
  createControlClient,
  type Build,
  type Cluster,
  type CreatedTenant,
  type CreateTenant,
  type Meters,
  type MetersError,
  type Operation,
  type Release,
  type ReleaseDiff,
  type ReleaseFacts,
  type RenameTenant,
  type SchemaState,
  type Service,
  type Session,
  type Site,
  type Tenant,
  type TenantDatabase,
} from '@terrace/client/control';
import { isUnreachable, problemOf } from '@terrace/site';

export type { Build, Cluster, CreatedTenant, CreateTenant, Meters, MetersError, Operation, Release, ReleaseDiff, ReleaseFacts, SchemaState, Service, Session, Site, Subscription, Tenant, TenantDatabase };

/** A page of a list: what is known so far, and where the rest begins. */
export interface Page<T> {
  items: T[];
  next: string | null;
}

const client = createControlClient();

/** Told how every call ended: whether anybody answered, and whether the session is over. */
export const observer = {
  answered: (_answered: boolean): void => {},
  signedOut: (): void => {},
};

async function call<T>(answer: Promise<T>): Promise<T> {
  try {
    const value = await answer;
    observer.answered(true);
    return value;
  } catch (error) {
    observer.answered(!isUnreachable(error));
    if (problemOf(error)?.status === 401) observer.signedOut();
    throw error;
  }
}

/** One tenant's cluster may be away while all else answers: this is its page's problem, and not the connection's. */
function ofOneCluster(error: unknown): never {
  const problem = problemOf(error);
  if (problem?.code !== 'data-unavailable') throw error;
  throw { ...problem, code: 'cluster-unavailable', title: problem.title, detail: 'The cluster of this tenant does not answer.' };
}

export const api = {
  /** Not observed for 401: there, a wrong password is the answer and not the end of a session. */
  signIn: (email: string, password: string): Promise<Session> => client.createSession({ email, password }),
  signOut: () => call(client.deleteSession()),
  session: (): Promise<Session> => call(client.getSession()),

  tenants: async (after?: string): Promise<Page<Tenant>> => {
    const page = await call(client.listTenants({ page_size: 200, ...(after ? { page_token: after } : {}) }));
    return { items: page.items, next: page.next_page_token };
  },
  tenant: (tenant: string): Promise<Tenant> => call(client.getTenant({ tenant })),
  database: (tenant: string): Promise<TenantDatabase> => call(client.showTenantDatabase({ tenant }).catch(ofOneCluster)),
  createTenant: (tenant: CreateTenant): Promise<CreatedTenant> => call(client.createTenant(tenant)),
  suspendTenant: (tenant: string): Promise<Tenant> => call(client.suspendTenant({ tenant })),
  resumeTenant: (tenant: string): Promise<Tenant> => call(client.resumeTenant({ tenant })),
  changePlan: (tenant: string, plan: Tenant['plan']): Promise<Tenant> => call(client.changePlan({ tenant }, { plan })),
  renameTenant: (tenant: string, names: RenameTenant): Promise<Tenant> => call(client.renameTenant({ tenant }, names)),
  /** An address and not a call: the browser writes the file as it comes. */
  exportOf: (tenant: string): string => `/api/control/tenants/${encodeURIComponent(tenant)}/export`,
  operations: async (tenant: string): Promise<Operation[]> => (await call(client.listTenantOperations({ tenant }))).items,
  finish: async (tenant: string): Promise<Operation[]> => (await call(client.finishOperation({ tenant }))).items,
  deleteTenant: (tenant: string) => call(client.deleteTenant({ tenant })),

  services: async (): Promise<Service[]> => (await call(client.listServices({ page_size: 200 }))).items,
  activate: (service: string, release: string): Promise<Service> => call(client.activateRelease({ service }, { release })),
  release: (service: string, release: string): Promise<ReleaseFacts> => call(client.showRelease({ service, release })),
  rollback: (service: string, release: string): Promise<Service> => call(client.rollbackService({ service }, { release })),
  promote: (service: string): Promise<Service> => call(client.promoteCanary({ service })),
  abort: (service: string): Promise<Service> => call(client.abortCanary({ service })),
  sites: async (): Promise<Site[]> => (await call(client.listSites({ page_size: 200 }))).items,
  clusters: async (): Promise<Cluster[]> => (await call(client.listClusters({ page_size: 200 }))).items,

  meters: (): Promise<Meters> => call(client.getMeters()),
  /** The figures, every second. The status says whether they arrive; `onProblem` that they never will. */
  watchMeters: (onMeters: (meters: Meters) => void, onStatus: (status: LiveStatus) => void, onProblem: () => void): Subscription =>
    client.stream({
      path: '/api/control/meters/stream',
      onMessage: ({ event, data }) => event === 'meters' && onMeters(JSON.parse(data) as Meters),
      onStatus,
      onProblem,
    }),
};
