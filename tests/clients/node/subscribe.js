const { Kafka, logLevel } = require("kafkajs");

const kafka = new Kafka({
  brokers: (process.env.KAFKA ?? "localhost:9092").split(","),
  logLevel: logLevel.ERROR,
});
const consumer = kafka.consumer({ groupId: "flag-cache-node", readUncommitted: false });

async function main() {
  await consumer.connect();
  await consumer.subscribe({ topics: ["flagtrail.records"], fromBeginning: true });
  await consumer.run({
    // The offset is committed after this has returned: after a crash the record comes again, with the same record.id.
    eachMessage: async ({ message }) => {
      const record = JSON.parse(message.value.toString());
      if (record.action.startsWith("flag.")) {
        console.log(record.action, JSON.stringify(record.flag), record.log);
      }
    },
  });
}

main();
