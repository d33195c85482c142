import { GlobalStyles, LoggerProvider, MeetingProvider } from 'amazon-chime-sdk-component-library-react';
import { ConsoleLogger, LogLevel } from 'amazon-chime-sdk-js';
import { ThemeProvider } from 'styled-components';
import type { Seat } from '../api';
import type { Choices } from '../lobby/devices';
import type { Ending } from './ending';
import { Room } from './Room';
import { theme } from './theme';

const logger = new ConsoleLogger('Belfry', LogLevel.WARN);

interface Props {
  seat: Seat;
  choices: Choices;
  onOver: (ending: Ending) => void;
}

// Meeting sets up what the component library needs around the room.
export function Meeting(props: Props) {
  return (
    <ThemeProvider theme={theme}>
      <GlobalStyles />
      <LoggerProvider logger={logger}>
        <MeetingProvider>
          <Room {...props} />
        </MeetingProvider>
      </LoggerProvider>
    </ThemeProvider>
  );
}
