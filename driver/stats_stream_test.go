// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"cmp"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/proto"
	"google.golang.org/grpc"
	protobuf "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// withoutStats fails where Nomad's server would ask the driver itself.
type withoutStats struct{ *Driver }

func (withoutStats) TaskStats(context.Context, string, time.Duration) (<-chan *drivers.TaskResourceUsage, error) {
	return nil, errors.New("the request has not been intercepted")
}

// Nomad's own client understands what is served without Nomad's server.
func TestServedStats(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`while :; do sleep 0.01; done`))
	h.start(cfg)

	client, connection := served(t, h.driver, withoutStats{h.driver})
	ch, err := client.TaskStats(t.Context(), cfg.ID, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	first, last := int64(0), int64(0)
	for range 10 {
		report := <-ch // of the same moment as the last one, if both were late
		if report == nil || report.Timestamp < last || report.ResourceUsage.MemoryStats.Usage == 0 || len(report.Pids) == 0 {
			t.Fatalf("after %d: %+v", last, report)
		}
		last = report.Timestamp
		first = cmp.Or(first, last)
	}
	if first == last {
		t.Error("ten reports of one moment")
	}
	if err := h.DestroyTask(cfg.ID, true); err != nil {
		t.Fatal(err)
	}
	for range ch { // until the task has ended
	}

	for name, request := range map[string]*proto.TaskStatsRequest{
		"of no task":          {TaskId: cfg.ID, CollectionInterval: durationpb.New(time.Second)},
		"without an interval": {TaskId: cfg.ID},
	} {
		stream, err := proto.NewDriverClient(connection).TaskStats(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if report, err := stream.Recv(); err == nil {
			t.Errorf("statistics %s: %+v", name, report)
		}
	}
}

// A message that is put together is the one that Nomad makes of the report.
func TestReportsAreSentAsNomadDoes(t *testing.T) {
	some := func(rss uint64) *drivers.ResourceUsage {
		return &drivers.ResourceUsage{
			MemoryStats: &drivers.MemoryStats{RSS: rss, Cache: 2, Swap: 3, Usage: 4, MaxUsage: 5, KernelUsage: 6, KernelMaxUsage: 7, Measured: []string{"RSS", "Cache"}},
			CpuStats:    &drivers.CpuStats{UserMode: 8, SystemMode: 9, Percent: 10, TotalTicks: 11, ThrottledPeriods: 12, ThrottledTime: 13, Measured: measuredGroup},
		}
	}
	first, second := some(1), some(100)
	received := &receiver{}
	s := statsStream{ServerStream: received}
	for i, report := range []*drivers.TaskResourceUsage{
		{ResourceUsage: first, Timestamp: 1_700_000_000_000_000_001, Pids: map[string]*drivers.ResourceUsage{"7": first, "8": second}},
		{ResourceUsage: first, Timestamp: 1_700_000_001_000_000_002, Pids: map[string]*drivers.ResourceUsage{"7": first, "8": second}},
		{ResourceUsage: second, Timestamp: 1_700_000_002_000_000_003, Pids: map[string]*drivers.ResourceUsage{"8": first}},
		{ResourceUsage: first, Timestamp: 1_700_000_003_000_000_004},
	} {
		if err := s.send(report); err != nil {
			t.Fatal(err)
		}
		want, err := drivers.TaskStatsToProto(report)
		if err != nil {
			t.Fatal(err)
		}
		if !protobuf.Equal(protoadapt.MessageV2Of(received.Stats), protoadapt.MessageV2Of(want)) {
			t.Errorf("report %d: %v\nwant %v", i, received.Stats, want)
		}
	}
}

// receiver decodes what is sent.
type receiver struct {
	grpc.ServerStream
	proto.TaskStatsResponse
}

func (r *receiver) SendMsg(message any) error {
	data, err := protobuf.Marshal(protoadapt.MessageV2Of(message.(*proto.TaskStatsResponse)))
	if err != nil {
		return err
	}
	return protobuf.Unmarshal(data, protoadapt.MessageV2Of(&r.TaskStatsResponse))
}
