// Command belfry is a self-hosted home for a live-streamed meeting: `belfry
// serve` is the server, the other commands talk to it or are run by it.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{
		Use:           "belfry",
		Short:         "Meet in the browser, stream it live, let anyone watch",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(serveCommand(), attendeeCommand(), envCommand(), keysCommand(), eventsCommand(), configCommand(), workerCommand(), versionCommand())
	if err := root.Execute(); err != nil {
		fmt.Fprintf(os.Stderr, "belfry: %v\n", err)
		os.Exit(1)
	}
}
