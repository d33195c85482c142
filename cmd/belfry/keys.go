package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"belfry.live/belfry/internal/access"
	"belfry.live/belfry/internal/server"
)

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make, list and revoke the access keys of the APIs",
		Long: `Make, list and revoke the access keys of the APIs. A running server follows
within a second.`,
	}
	data := dataFlag(cmd)
	cmd.AddCommand(createKeyCommand(data), listKeysCommand(data), revokeKeyCommand(data))
	return cmd
}

func createKeyCommand(data *string) *cobra.Command {
	var (
		spec   access.Spec
		policy string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make an access key and print it with its secret",
		Long: `Make an access key and print it with its secret, which is shown this once.

Without --policy the key may do everything in its account. A policy is JSON in
the form of IAM's:

  {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["ivs:Get*", "ivs:List*"], "Resource": "*"}]}`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if cmd.Flags().Changed("ttl") && spec.TTL == 0 {
				return fmt.Errorf("--ttl must be at least %v: 0s", access.MinTTL)
			}
			if cmd.Flags().Changed("policy") {
				if spec.Policy, err = readPolicy(cmd, policy); err != nil {
					return err
				}
			}
			k, err := access.Create(server.KeysFile(*data), spec, time.Now())
			if err != nil {
				return err
			}
			return showNewKey(cmd, k, asJSON)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&spec.Name, "name", "", "name of who is to hold it, for lists and ARNs")
	f.StringVar(&spec.Account, "account", "", "its account, 12 digits (default: the server's own)")
	f.StringVar(&policy, "policy", "", "file with what it may do, - is standard input (default: everything)")
	f.DurationVar(&spec.TTL, "ttl", 0, "time it is good for: 1h makes a temporary key with a session token (default: for good)")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// readPolicy reads the policy in the file.
func readPolicy(cmd *cobra.Command, file string) (access.Policy, error) {
	in := cmd.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return access.Policy{}, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 1<<20)) // more than a policy may have
	if err != nil {
		return access.Policy{}, fmt.Errorf("read the policy: %w", err)
	}
	return access.ParsePolicy(text)
}

func listKeysCommand(data *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the access keys, without their secrets",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := access.List(server.KeysFile(*data))
			if err != nil {
				return err
			}
			return showKeys(cmd, keys, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON list")
	return cmd
}

func revokeKeyCommand(data *string) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "Revoke an access key",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return access.Revoke(server.KeysFile(*data), args[0], time.Now())
		},
	}
}
