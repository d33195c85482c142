// Package sdk tests the APIs with clients that are not written in Go.
package sdk
