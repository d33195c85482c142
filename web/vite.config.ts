import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// `npm run dev` serves the site alone; everything else comes from a running belfry.
const server = process.env.BELFRY_URL ?? 'http://localhost:8080';

export default defineConfig({
  plugins: [react()],
  // The meeting SDK is written for bundlers that know Node's name for the global object.
  define: { global: 'globalThis' },
  build: {
    target: 'es2022',
    // public/.gitkeep puts back the dist/.gitkeep without which Go does not compile in a fresh checkout.
    emptyOutDir: true,
    chunkSizeWarningLimit: 1700,
  },
  server: {
    proxy: {
      '/api': server,
      '/control': { target: server, ws: true },
    },
  },
  test: {
    include: ['src/**/*.test.ts'],
    unstubGlobals: true,
  },
});
