import './ui/tokens.css';
import { lazy, StrictMode, Suspense } from 'react';
import { createRoot } from 'react-dom/client';
import { routeOf } from './routes';

// Viewers get the player and nothing of the meeting.
const App = lazy(async () => ({ default: (await import('./App')).App }));
const Watch = lazy(async () => ({ default: (await import('./watch/Watch')).Watch }));

const route = routeOf(location.pathname);

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <Suspense>{route.page === 'watch' ? <Watch name={route.name} /> : <App />}</Suspense>
  </StrictMode>,
);
