package main

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// key is "key NAME ARGS…": makes an API key as dragoman token create ARGS… does,
// and sets NAME to it and NAME_ID to its id.
func key(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: key NAME ARGS…")
	}
	ts.Check(ts.Exec("dragoman", append([]string{"token", "create"}, args[1:]...)...))
	made := strings.TrimSpace(ts.ReadFile("stdout"))
	parts := strings.Split(made, "_")
	if len(parts) != 4 {
		ts.Fatalf("token create printed %q, want a key", made)
	}
	ts.Setenv(args[0], made)
	ts.Setenv(args[0]+"_ID", parts[1])
}

// refused is "refused URL KEY": the gateway there must come to refuse the key
// within 5 seconds from now.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: refused URL KEY")
	}
	defer http.DefaultClient.CloseIdleConnections()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for {
		request, err := http.NewRequest(http.MethodPost, args[0], strings.NewReader("{}"))
		ts.Check(err)
		request.Header.Set("Authorization", "Bearer "+args[1])
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		ts.Check(err)
		_, err = io.Copy(io.Discard, response.Body)
		ts.Check(err)
		ts.Check(response.Body.Close())
		if response.StatusCode == http.StatusUnauthorized {
			ts.Logf("refused after %v", time.Since(begun))
			return
		}
		if time.Since(begun) > time.Minute { // 5 s are promised, to a machine that has time
			ts.Fatalf("the key is still good after a minute: status %d", response.StatusCode)
		}
		<-tick.C
	}
}
