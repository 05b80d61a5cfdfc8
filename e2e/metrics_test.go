// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/burin-labs/nomad-driver-harn/internal/scrape"
)

// Two variables of "make metrics-demo": the program Prometheus, and a file for its
// answers, of which the picture of docs/runbook.md is drawn.
const (
	prometheusVariable = "HARN_PROMETHEUS"
	answersVariable    = "HARN_METRICS_ANSWERS"
)

// What the plugin counts under an agent, over the end of a plugin process; and with a
// Prometheus, that each query of the dashboard and each rule has an answer.
func TestMetrics(t *testing.T) {
	address := "127.0.0.1:" + strconv.Itoa(freePort(t))
	a := newClient(t, shared.server, poolName(t), options{plugin: fmt.Sprintf("metrics { address = %q }", address)})
	prometheus := startPrometheus(t, address)
	read := func() scrape.Series {
		s, err := scrape.Get(t.Context(), address)
		if err != nil {
			return nil
		}
		return s
	}
	eventually(t, "no metrics", func() bool { return read()["harn_healthy"] == 1 })

	const sleepers = 3
	var running []*job
	for i := range sleepers {
		running = append(running, a.submit(t, batch(fmt.Sprintf("metrics-sleeper-%d", i), script("sleep 1000", ""))).untilRunning())
		prometheus.pause()
	}
	a.run(t, batch("metrics-refused", script("true", `capability_policy { read_only_roots = ["/nowhere"] }`)))
	a.run(t, batch("metrics-refused-too", script("true", `work_dir = "/var/lib"`)))
	// Of each name, the first is told at once; how often it came again, only later.
	a.run(t, batch("metrics-egress", script("for i in 1 2 3 4 5; do curl -s http://pypi$i.example/; done; true", `
        capability_policy {
          side_effect_level = "network"
          egress { allow = ["api.example.com:443"] }
        }`)))
	for range 4 {
		if _, _, code := running[0].exec(false, "", "true"); code != 0 {
			t.Errorf("exec: %d", code)
		}
		prometheus.pause()
	}
	want := func(what string, series map[string]float64) {
		t.Helper()
		for name, value := range series {
			eventually(t, fmt.Sprintf("%s: %s is not %v in %v", what, name, value, read()), func() bool { return read()[name] == value })
		}
	}
	want("before the plugin's end", map[string]float64{
		"harn_task_starts_total": sleepers + 1, "harn_task_start_seconds": sleepers + 1, "harn_tasks_running": sleepers,
		`harn_task_refusals_total{field="read_only_roots"}`: 1, `harn_task_refusals_total{field="work_dir"}`: 1,
		`harn_sessions_total{kind="exec"}`: 4, `harn_task_recoveries_total{result="recovered"}`: 0,
	})
	// A resolver that has waited long asks once more.
	eventually(t, "no 5 denials of egress", func() bool { n := read()["harn_egress_denials_total"]; return n >= 5 && n <= 10 })
	prometheus.pause()

	// The next plugin process counts anew, at the same address, and finds the tasks.
	plugin := a.plugin(t)
	kill(t, plugin)
	eventually(t, "the plugin was not started again", func() bool { return a.plugin(t) != plugin })
	want("after it", map[string]float64{
		"harn_task_starts_total": 0, "harn_tasks_running": sleepers, `harn_task_recoveries_total{result="recovered"}`: sleepers, `harn_task_recoveries_total{result="failed"}`: 0,
	})
	for i := range 4 {
		a.run(t, batch(fmt.Sprintf("metrics-more-%d", i), script("true", "")))
		prometheus.pause()
	}
	prometheus.check()
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// prometheus is a real one; nil where there is none.
type prometheus struct {
	t     *testing.T
	url   string
	began time.Time
}

// startPrometheus starts one with the configuration and rules of the example.
func startPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	program := os.Getenv(prometheusVariable)
	if program == "" {
		return nil
	}
	dir := t.TempDir()
	for _, name := range []string{"prometheus.yml", "alerts.yml"} {
		text, err := os.ReadFile("../example/metrics/" + name)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.NewReplacer("127.0.0.1:9746", target, "scrape_interval: 15s", "scrape_interval: 1s\n  evaluation_interval: 2s").Replace(string(text))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	listen := "127.0.0.1:" + strconv.Itoa(freePort(t))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+listen)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("Prometheus:\n%s", text)
		}
	})
	p := &prometheus{t: t, url: "http://" + listen, began: time.Now()}
	eventually(t, "Prometheus is not ready", func() bool {
		response, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return p
}

// pause lets Prometheus see what is there.
func (p *prometheus) pause() {
	if p != nil {
		time.Sleep(3 * time.Second)
	}
}

// get asks Prometheus for the data of an answer.
func (p *prometheus) get(path string, query url.Values, data any) {
	p.t.Helper()
	response, err := http.Get(p.url + path + "?" + query.Encode())
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	answer := struct {
		Status, Error string
		Data          json.RawMessage
	}{}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Status != "success" {
		p.t.Fatalf("%s %v: %s", path, query, text)
	}
	if err := json.Unmarshal(answer.Data, data); err != nil {
		p.t.Fatalf("%s: %v in %s", path, err, text)
	}
}

// Answer is what Prometheus says to one query of the dashboard.
type Answer struct {
	Panel  string          `json:"panel"`
	Unit   string          `json:"unit"`
	Legend string          `json:"legend"`
	Result json.RawMessage `json:"result"`
}

// check asks all that the dashboard asks, and looks at the rules.
func (p *prometheus) check() {
	if p == nil {
		return
	}
	t := p.t
	text, err := os.ReadFile("../example/metrics/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title       string
			FieldConfig struct{ Defaults struct{ Unit string } }
			Targets     []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	var answers []Answer
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			query := strings.NewReplacer("$__rate_interval", "10s", "$__range", "5m", "$instance", ".*").Replace(target.Expr)
			var data struct {
				Result []struct{ Values [][2]any }
			}
			var raw struct{ Result json.RawMessage }
			asked := url.Values{
				"query": {query}, "step": {"1"},
				"start": {strconv.FormatInt(p.began.Unix(), 10)}, "end": {strconv.FormatInt(time.Now().Unix(), 10)},
			}
			p.get("/api/v1/query_range", asked, &raw)
			if err := json.Unmarshal(raw.Result, &data.Result); err != nil {
				t.Fatal(err)
			}
			points, other := 0, 0
			for _, series := range data.Result {
				for _, value := range series.Values {
					points++
					if text, ok := value[1].(string); ok && text != "0" && text != "NaN" {
						other++
					}
				}
			}
			t.Logf("%s: %d series, %d points, %d of them not zero: %s", panel.Title, len(data.Result), points, other, query)
			// What the kernel denies is logged where auditing is enabled; and no recovery has failed here, nor is a
			// session seen that ends at once.
			idle := strings.Contains(query, "harn_denials_total") || strings.Contains(query, "harn_sessions_running") || strings.Contains(query, `result="failed"`)
			if points < 5 || other == 0 && !idle {
				t.Errorf("%s: no data for %s", panel.Title, query)
			}
			answers = append(answers, Answer{panel.Title, panel.FieldConfig.Defaults.Unit, target.LegendFormat, raw.Result})
		}
	}
	if len(answers) < 15 {
		t.Errorf("the dashboard asks %d things: are these all?", len(answers))
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	eventually(t, "the rules were not tried", func() bool {
		p.get("/api/v1/rules", nil, &rules)
		return len(rules.Groups) == 1 && len(rules.Groups[0].Rules) > 0 && rules.Groups[0].Rules[0].Health != "unknown"
	})
	for _, rule := range rules.Groups[0].Rules {
		if rule.Health != "ok" {
			t.Errorf("rule %s: %s %s", rule.Name, rule.Health, rule.LastError)
		}
	}
	if file := os.Getenv(answersVariable); file != "" {
		encoded, err := json.Marshal(answers)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, encoded, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
