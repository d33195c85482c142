package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"time"

	"belfry.live/belfry/test/running"
)

// startup measures from the start of the process to the first good answer of
// /healthz; the reference is the same binary started to print its version.
func startup(_ context.Context, b *bench) error {
	const times = 10
	var process, fresh, again []time.Duration
	for i := range times {
		began := time.Now()
		if err := exec.Command(b.binary, "version").Run(); err != nil {
			return err
		}
		process = append(process, time.Since(began))
		data := filepath.Join(b.dir, fmt.Sprintf("startup-%d", i))
		for _, list := range []*[]time.Duration{&fresh, &again} {
			s := running.New(b.binary, data)
			began := time.Now()
			if err := s.Run(); err != nil {
				return err
			}
			resp, err := http.Get(s.Endpoint + "/healthz")
			if err != nil {
				return err
			}
			resp.Body.Close()
			*list = append(*list, time.Since(began))
			if _, err := s.Stop(); err != nil {
				return err
			}
		}
	}
	fmt.Println("| start, ms | least | median | most | median to reference |")
	fmt.Println("|---|---|---|---|---|")
	_, reference, _, _ := quantiles(process)
	for _, row := range []struct {
		name  string
		times []time.Duration
	}{{"reference: the process alone (belfry version)", process}, {"first start (makes folder, keys, certificates)", fresh}, {"later start", again}} {
		least, middle, _, most := quantiles(row.times)
		fmt.Printf("| %s | %s | %s | %s | %.1f |\n", row.name, ms(least), ms(middle), ms(most), float64(middle)/float64(reference))
	}
	return nil
}
