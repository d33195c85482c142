package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"belfry.live/belfry/internal/config"
)

func configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print the configuration file with all settings and their defaults",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprint(cmd.OutOrStdout(), config.Reference)
		},
	}
}
