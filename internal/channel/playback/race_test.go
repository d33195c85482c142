//go:build race

package playback_test

func init() { raceDetector = true }
