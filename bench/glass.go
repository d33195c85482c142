package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// glass measures how old a picture is when the watch page shows it. There is
// no reference: the figure is a latency that a person can see.
func glass(ctx context.Context, _ *bench) error {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "node", "bench/glass.mjs")
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	var ages []float64
	if err := json.Unmarshal(out.Bytes(), &ages); err != nil {
		return fmt.Errorf("bench/glass.mjs said %q: %w", out.String(), err)
	}
	var d []time.Duration
	for _, a := range ages {
		d = append(d, time.Duration(a*float64(time.Millisecond)))
	}
	least, middle, p99, most := quantiles(d)
	fmt.Println("| glass to glass, ms | least | median | p99 | most | pictures |")
	fmt.Println("|---|---|---|---|---|---|")
	fmt.Printf("| camera to watch page | %s | %s | %s | %s | %d |\n", ms(least), ms(middle), ms(p99), ms(most), len(d))
	return nil
}
