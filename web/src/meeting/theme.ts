import { darkTheme } from 'amazon-chime-sdk-component-library-react';

// theme dresses the component library in the site's palette; the colours
// themselves stand in ui/tokens.css.
export const theme = {
  ...darkTheme,
  name: 'Belfry',
  fonts: { ...darkTheme.fonts, body: 'var(--font)', monospace: 'var(--mono)' },
  globalStyle: { ...darkTheme.globalStyle, bgd: 'var(--night)', text: 'var(--text)' },
  colors: { ...darkTheme.colors, greys: { ...darkTheme.colors.greys, grey100: 'transparent' } },
};
