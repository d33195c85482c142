//go:build race

package meeting_test

// raced says whether the race detector is in, which makes everything several
// times slower.
const raced = true
