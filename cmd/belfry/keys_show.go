package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"belfry.live/belfry/internal/access"
)

// A shownKey is a key as --json prints it; the secrets are of a new one only.
type shownKey struct {
	ID           string        `json:"accessKeyId"`
	Secret       string        `json:"secretAccessKey,omitempty"`
	SessionToken string        `json:"sessionToken,omitempty"`
	Account      string        `json:"account,omitempty"` // absent: the server's own
	Name         string        `json:"name,omitempty"`
	Created      time.Time     `json:"created,omitzero"`
	Expires      time.Time     `json:"expires,omitzero"`
	Policy       access.Policy `json:"policy,omitzero"` // absent: everything
}

func shown(k access.Key) shownKey {
	return shownKey{ID: k.ID, Account: k.Account, Name: k.Name, Created: k.Created, Expires: k.Expires, Policy: k.Policy}
}

// showNewKey prints a key with its secrets.
func showNewKey(cmd *cobra.Command, k access.Key, asJSON bool) error {
	s := shown(k)
	s.Secret, s.SessionToken = k.Secret.Reveal(), k.SessionToken.Reveal()
	if asJSON {
		return showJSON(cmd, s)
	}
	t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "Access key ID\t%s\n", s.ID)
	fmt.Fprintf(t, "Secret\t%s\n", s.Secret)
	if k.Temporary() {
		fmt.Fprintf(t, "Session token\t%s\n", s.SessionToken)
		fmt.Fprintf(t, "Expires\t%s\n", day(k.Expires))
	}
	fmt.Fprintf(t, "Account\t%s\n", account(k))
	if k.Name != "" {
		fmt.Fprintf(t, "Name\t%s\n", k.Name)
	}
	fmt.Fprintf(t, "Allows\t%s\n", allows(k))
	if err := t.Flush(); err != nil {
		return err
	}
	where := ""
	if data := cmd.Flag("data"); data.Changed {
		where = " --data " + data.Value.String()
	}
	_, err := fmt.Fprintf(cmd.ErrOrStderr(), `
The secret is shown this once. The server keeps it in keys.json (mode 0600),
since it cannot check signatures without. To use the key in this shell:
  eval "$(belfry env --key %s%s)"
`, k.ID, where)
	return err
}

func showKeys(cmd *cobra.Command, keys []access.Key, asJSON bool) error {
	if asJSON {
		list := make([]shownKey, 0, len(keys))
		for _, k := range keys {
			list = append(list, shown(k))
		}
		return showJSON(cmd, list)
	}
	t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ACCESS KEY ID\tACCOUNT\tNAME\tCREATED\tEXPIRES\tALLOWS")
	for _, k := range keys {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, account(k), cmp.Or(k.Name, "-"), day(k.Created), day(k.Expires), allows(k))
	}
	return t.Flush()
}

func showJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func account(k access.Key) string { return cmp.Or(k.Account, "the server's") }

func allows(k access.Key) string {
	if k.Policy.IsZero() {
		return "everything"
	}
	return "its policy"
}

func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}
