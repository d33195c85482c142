import { lazy, Suspense, useCallback, useEffect, useState } from 'react';
import { type Seat, join, messageOf } from './api';
import type { Choices } from './lobby/devices';
import { Lobby } from './lobby/Lobby';
import type { Ending } from './meeting/ending';
import { Over } from './meeting/Over';
import { meetingPath, routeOf } from './routes';
import { forgetSeat, keepSeat, keptSeat } from './seat';

const loadMeeting = () => import('./meeting/Meeting');
const Meeting = lazy(async () => ({ default: (await loadMeeting()).Meeting }));

type Place =
  | { at: 'lobby'; seat?: Seat }
  | { at: 'meeting'; seat: Seat; choices: Choices }
  | { at: 'over'; seat: Seat; choices: Choices; ending: Ending };

// App takes a person from the lobby into a meeting and out of it.
export function App() {
  const [place, setPlace] = useState<Place>(whereWeWere);
  const [joining, setJoining] = useState(false);
  const [error, setError] = useState<string>();
  const dismissError = useCallback(() => setError(undefined), []);

  useEffect(() => {
    // The meeting's code is large: have it while the person looks at the camera.
    void loadMeeting().catch(() => undefined);
  }, []);

  useEffect(() => {
    // Back and forward between an ended meeting and the lobby.
    const onPopState = () => setPlace((was) => (was.at === 'meeting' ? was : whereWeWere()));
    window.addEventListener('popstate', onPopState);
    return () => window.removeEventListener('popstate', onPopState);
  }, []);

  const toLobby = useCallback(() => {
    forgetSeat();
    history.replaceState(null, '', '/');
    setPlace({ at: 'lobby' });
  }, []);

  const enter = useCallback((seat: Seat, choices: Choices) => {
    keepSeat(seat);
    const path = meetingPath(seat.Meeting.MeetingId);
    if (location.pathname !== path) {
      history.pushState(null, '', path);
    }
    setPlace({ at: 'meeting', seat, choices });
  }, []);

  const onJoin = async (name: string, choices: Choices) => {
    setJoining(true);
    setError(undefined);
    try {
      await loadMeeting();
      enter((place.at === 'lobby' && place.seat) || (await join(name)), choices);
    } catch (err) {
      setError(messageOf(err));
    } finally {
      setJoining(false);
    }
  };

  const onOver = useCallback((ending: Ending) => {
    setPlace((was) => (was.at === 'meeting' ? { ...was, at: 'over', ending } : was));
  }, []);

  switch (place.at) {
    case 'lobby':
      return (
        <Lobby
          back={place.seat !== undefined}
          joining={joining}
          error={error}
          onDismissError={dismissError}
          onJoin={onJoin}
          onForget={toLobby}
        />
      );
    case 'meeting':
      return (
        <Suspense>
          <Meeting seat={place.seat} choices={place.choices} onOver={onOver} />
        </Suspense>
      );
    case 'over':
      return <Over ending={place.ending} onRejoin={() => enter(place.seat, place.choices)} onLobby={toLobby} />;
  }
}

// whereWeWere finds the seat again that this tab had before it was reloaded.
// The address of a meeting without a seat leads to the lobby.
function whereWeWere(): Place {
  const route = routeOf(location.pathname);
  const seat = route.page === 'meeting' ? keptSeat(route.meetingId) : undefined;
  if (!seat && location.pathname !== '/') {
    history.replaceState(null, '', '/');
  }
  return { at: 'lobby', seat };
}
