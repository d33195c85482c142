//go:build !race

package meeting_test

const raced = false
