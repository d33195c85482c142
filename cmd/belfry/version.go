package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print which build this is",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				fmt.Fprintln(cmd.OutOrStdout(), "belfry, built without build information")
				return
			}
			version := map[string]string{}
			for _, s := range info.Settings {
				version[s.Key] = s.Value
			}
			fmt.Fprintf(cmd.OutOrStdout(), "belfry %s (commit %s, %s)\n", info.Main.Version, version["vcs.revision"], info.GoVersion)
		},
	}
}
