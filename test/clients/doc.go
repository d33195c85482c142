// Package clients tests the APIs with clients that are not written in Go.
package clients
