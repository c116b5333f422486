/**
 * Sluice tells readers what has changed: the contract of a pubsub, the one within a process, and what
 * publishes keys to either. The one of PostgreSQL is `postgresPubsub` in `sluice/postgres`.
 */
export { type LocalPubsubOptions, localPubsub } from "./local-pubsub.ts";
export { packTexts, packUuids, unpackTexts, unpackUuids } from "./payloads.ts";
export {
  createPublisher,
  type Publisher,
  type PublisherOptions,
  type PublisherStats,
} from "./publisher.ts";
export {
  MAX_PAYLOAD_BYTES,
  type PublishOptions,
  type Pubsub,
  type Subscriber,
  type Subscription,
} from "./pubsub.ts";
