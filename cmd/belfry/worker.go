package main

import (
	"os"

	"github.com/spf13/cobra"

	"belfry.live/belfry/internal/server"
	"belfry.live/belfry/internal/worker"
)

func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "worker KIND",
		Short:  "Run one pipeline; started by belfry serve",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		Run: func(_ *cobra.Command, args []string) {
			os.Exit(worker.Main(args[0], server.Kinds()))
		},
	}
}
