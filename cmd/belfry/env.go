package main

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"belfry.live/belfry/internal/config"
	"belfry.live/belfry/internal/server"
)

func envCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the shell exports with which AWS SDKs use the running server",
		Long: `Print the shell exports with which AWS SDKs and the aws command use the
running server:

  eval "$(belfry env)"
  aws ivs list-channels`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			running, key, err := server.ReadRunning(data)
			if err != nil {
				return err
			}
			for _, e := range [][2]string{
				{"AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS", running.Endpoint},
				{"AWS_ENDPOINT_URL_CHIME_SDK_MEDIA_PIPELINES", running.Endpoint},
				{"AWS_ENDPOINT_URL_IVS", running.Endpoint},
				{"AWS_ACCESS_KEY_ID", key.ID},
				{"AWS_SECRET_ACCESS_KEY", key.Secret},
				{"AWS_REGION", running.Region},
				{"AWS_DEFAULT_REGION", running.Region}, // the aws command reads this one
			} {
				fmt.Fprintf(cmd.OutOrStdout(), "export %s='%s'\n", e[0], strings.ReplaceAll(e[1], "'", `'\''`))
			}
			// Those of another account would go along with the keys, or before them.
			fmt.Fprintln(cmd.OutOrStdout(), "unset AWS_SESSION_TOKEN AWS_PROFILE")
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", cmp.Or(os.Getenv(config.EnvPrefix+"DATA"), config.Default().Data), "data folder of the server")
	return cmd
}

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
