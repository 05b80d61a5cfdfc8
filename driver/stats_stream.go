// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/proto"
	"google.golang.org/grpc"
	protobuf "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const taskStatsMethod = "/hashicorp.nomad.plugins.drivers.proto.Driver/TaskStats"

// interceptStats answers TaskStats in place of Nomad's server, which converts and
// encodes the same numbers again and again: of what an idle node does, that was
// most.
func (d *Driver) interceptStats(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if info.FullMethod != taskStatsMethod {
		return next(server, stream)
	}
	request := &proto.TaskStatsRequest{}
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	if err := request.CollectionInterval.CheckValid(); err != nil {
		return fmt.Errorf("TaskStats: collection_interval: %w", err)
	}
	h, ok := d.tasks.get(request.TaskId)
	if !ok {
		return drivers.ErrTaskNotFound
	}
	s := statsStream{ServerStream: stream}
	return h.stats(stream.Context(), request.CollectionInterval.AsDuration(), s.send)
}

// statsStream sends reports as messages.
type statsStream struct {
	grpc.ServerStream
	usage   *drivers.ResourceUsage // of the last report
	encoded []byte                 // the last report, without its time
}

func (s *statsStream) send(report *drivers.TaskResourceUsage) error {
	if s.encoded == nil || report.ResourceUsage != s.usage {
		message, err := drivers.TaskStatsToProto(report)
		if err != nil {
			return err
		}
		message.Timestamp = nil
		if s.encoded, err = protobuf.Marshal(protoadapt.MessageV2Of(&proto.TaskStatsResponse{Stats: message})); err != nil {
			return err
		}
		s.usage = report.ResourceUsage
	}
	// Parts of a message that follow each other are one message: what is encoded
	// follows the time.
	return s.SendMsg(&proto.TaskStatsResponse{
		Stats:            &proto.TaskStats{Timestamp: timestamppb.New(time.Unix(0, report.Timestamp))},
		XXX_unrecognized: s.encoded,
	})
}
