package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"belfry.live/belfry/internal/access"
	"belfry.live/belfry/internal/config"
	"belfry.live/belfry/internal/server"
)

func envCommand() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the shell exports with which AWS SDKs use the running server",
		Long: `Print the shell exports with which AWS SDKs and the aws command use the
running server:

  eval "$(belfry env)"
  aws ivs list-channels`,
		Args: cobra.NoArgs,
	}
	data := dataFlag(cmd)
	cmd.Flags().StringVar(&id, "key", "", "id of the access key to use (default: the owner's)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		running, err := server.ReadRunning(*data)
		if err != nil {
			return err
		}
		key, err := findKey(*data, id)
		if err != nil {
			return err
		}
		exports := [][2]string{
			{"AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS", running.API},
			{"AWS_ENDPOINT_URL_CHIME_SDK_MEDIA_PIPELINES", running.API},
			{"AWS_ENDPOINT_URL_IVS", running.API},
			{"AWS_ACCESS_KEY_ID", key.ID},
			{"AWS_SECRET_ACCESS_KEY", key.Secret.Reveal()},
			{"AWS_REGION", running.Region},
			{"AWS_DEFAULT_REGION", running.Region}, // the aws command reads this one
		}
		// Those of another account would go along with the keys, or before them.
		foreign := "AWS_SESSION_TOKEN AWS_PROFILE"
		if key.Temporary() {
			exports = append(exports, [2]string{"AWS_SESSION_TOKEN", key.SessionToken.Reveal()})
			foreign = "AWS_PROFILE"
		}
		for _, e := range exports {
			fmt.Fprintf(cmd.OutOrStdout(), "export %s='%s'\n", e[0], strings.ReplaceAll(e[1], "'", `'\''`))
		}
		fmt.Fprintln(cmd.OutOrStdout(), "unset "+foreign)
		return nil
	}
	return cmd
}

// findKey returns the key with the id, or the owner's.
func findKey(data, id string) (access.Key, error) {
	keys, err := access.List(server.KeysFile(data))
	if err != nil {
		return access.Key{}, err
	}
	if id == "" {
		key, ok := access.Owner(keys)
		if !ok {
			return access.Key{}, errors.New("the owner's access key is missing")
		}
		return key, nil
	}
	i := slices.IndexFunc(keys, func(k access.Key) bool { return k.ID == id })
	switch {
	case i < 0:
		return access.Key{}, fmt.Errorf("%w: %.128q", access.ErrNotFound, id)
	case keys[i].Expired(time.Now()):
		return access.Key{}, fmt.Errorf("access key %s was good until %s", id, day(keys[i].Expires))
	}
	return keys[i], nil
}

// dataFlag adds the flag for the server's data folder, for the command
// and those below the command.
func dataFlag(cmd *cobra.Command) *string {
	return cmd.PersistentFlags().String("data", cmp.Or(os.Getenv(config.EnvPrefix+"DATA"), config.Default().Data), "data folder of the server")
}
