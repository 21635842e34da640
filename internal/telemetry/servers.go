package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ServerStatus is how a configured server is at this moment.
type ServerStatus struct {
	Name string
	Up   bool
	// Restarts counts how often its program was started anew.
	Restarts int64
	// Breaker is closed, open or half_open; empty when it has none.
	Breaker string
	// MemoryBytes is what its processes hold; 0 when it has none or it is not known.
	MemoryBytes uint64
	// Tools counts its tools by state, such as shown and hidden.
	Tools map[string]int
	// Trial counts its calls that policies on trial were asked about; nil when none are.
	Trial *Trial
}

// Trial counts calls that were decided about by the policies in force and by those on trial.
type Trial struct {
	Asked int64
	// Permits and Refuses are those where the answers differ, by that of the policies on trial.
	Permits, Refuses int64
}

// Counters are what the calls to a server came to, since the start of this
// process. Subscriptions count as active only.
type Counters struct {
	Requests int64
	// Errors counts calls that ended with an error, and results of tools that
	// say that the tool failed.
	Errors int64
	// ErrorRate is Errors by Requests, from 0 to 1.
	ErrorRate float64
	// AverageResponse is the mean over all calls, failed ones too.
	AverageResponse time.Duration
	// Active is how many calls are under way.
	Active int64
}

// Counters returns those of a server.
func (t *Telemetry) Counters(server string) Counters {
	var c Counters
	var busy int64
	for _, s := range t.outgoing() {
		if s.key.Server != server {
			continue
		}
		c.Requests += s.calls.Load()
		c.Errors += s.failures.Load()
		c.Active += s.active.Load()
		busy += s.busy.Load()
	}
	if c.Requests > 0 {
		c.ErrorRate = float64(c.Errors) / float64(c.Requests)
		c.AverageResponse = time.Duration(busy / c.Requests)
	}
	return c
}

// collector gathers what is looked up when somebody asks.
type collector struct{ t *Telemetry }

var _ prometheus.Collector = (*collector)(nil)

// breakerStates are the values of the label state of dragoman_breaker_state.
var breakerStates = []string{"closed", "open", "half_open"}

// Describe implements prometheus.Collector. It names nothing, for the servers
// come and go: the collector is "unchecked".
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	emit := func(kind prometheus.ValueType, f family, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(f.name, f.help, f.labels, nil), kind, value, labels...)
	}
	c.traffic(emit)
	emit(prometheus.CounterValue, droppedLines, float64(c.t.lines.droppedLines()))
	if c.t.o.Servers == nil {
		return
	}
	for _, s := range c.t.o.Servers() {
		counted := c.t.Counters(s.Name)
		emit(prometheus.CounterValue, serverRequests, float64(counted.Requests), s.Name)
		emit(prometheus.GaugeValue, serverActive, float64(counted.Active), s.Name)
		emit(prometheus.GaugeValue, serverErrorRate, counted.ErrorRate, s.Name)
		emit(prometheus.GaugeValue, serverMemory, float64(s.MemoryBytes)/1e6, s.Name)
		emit(prometheus.GaugeValue, serverUp, truth(s.Up), s.Name)
		emit(prometheus.CounterValue, serverRestarts, float64(s.Restarts), s.Name)
		for state, n := range s.Tools {
			emit(prometheus.GaugeValue, serverTools, float64(n), s.Name, state)
		}
		if s.Trial != nil {
			emit(prometheus.CounterValue, trialAsked, float64(s.Trial.Asked), s.Name)
			emit(prometheus.CounterValue, trialDiffers, float64(s.Trial.Permits), s.Name, "permits")
			emit(prometheus.CounterValue, trialDiffers, float64(s.Trial.Refuses), s.Name, "refuses")
		}
		if s.Breaker == "" {
			continue
		}
		for _, state := range breakerStates {
			emit(prometheus.GaugeValue, breakerState, truth(state == s.Breaker), s.Name, state)
		}
	}
}

// traffic emits the calls that are under way, by leg.
func (c *collector) traffic(emit func(prometheus.ValueType, family, float64, ...string)) {
	c.t.mu.Lock()
	var incoming int64
	outgoing := make(map[string]int64)
	for leg, s := range c.t.legs {
		if leg.Side == Incoming {
			incoming += s.active.Load()
		} else {
			outgoing[leg.Server] += s.active.Load()
		}
	}
	c.t.mu.Unlock()
	emit(prometheus.GaugeValue, inFlight, float64(incoming), "incoming", "")
	for server, n := range outgoing {
		emit(prometheus.GaugeValue, inFlight, float64(n), "outgoing", server)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// family is the description of a metric that collector emits.
type family struct {
	name, help string
	labels     []string
}

var (
	inFlight        = family{"dragoman_requests_in_flight", "Calls under way, by side and server.", []string{"side", "server"}}
	droppedLines    = family{"dragoman_log_lines_dropped_total", "Lines of the log that nobody took in time.", nil}
	serverUp        = family{"dragoman_server_up", "Whether a server can be reached.", []string{"server"}}
	serverRestarts  = family{"dragoman_server_restarts_total", "Restarts of a server's program.", []string{"server"}}
	serverTools     = family{"dragoman_tools", "Tools of a server, by state.", []string{"server", "state"}}
	breakerState    = family{"dragoman_breaker_state", "1 for the state that a server's circuit breaker is in.", []string{"server", "state"}}
	trialAsked      = family{"dragoman_candidate_policy_decisions_total", "Calls that policies on trial were asked about.", []string{"server"}}
	trialDiffers    = family{"dragoman_candidate_policy_differences_total", "Calls that policies on trial answer otherwise than those in force, by their answer.", []string{"server", "candidate"}}
	serverRequests  = family{"mcp_server_requests_total", "Calls to a server that have ended, subscriptions not included.", []string{"server"}}
	serverActive    = family{"mcp_server_active_connections", "Calls to a server that are under way, subscriptions included.", []string{"server"}}
	serverErrorRate = family{"mcp_server_error_rate", "Part of the calls to a server that failed, since the start.", []string{"server"}}
	serverMemory    = family{"mcp_server_memory_usage_mb", "Memory of a server's processes in 10^6 bytes; 0 when it is not known.", []string{"server"}}
)
