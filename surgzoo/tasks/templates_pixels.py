"""Instructions of the tasks whose answer is an image, a map or a video."""

from surgzoo.tasks.grammar import phrasings

INSTRUMENT_SEGMENTATION = phrasings(  # {instrument}: one class
    (
        "Segment the {instrument}.",
        "Give the mask of the {instrument}.",
        "Paint the {instrument} white, the rest black.",
        "Mask the {instrument}.",
        "Return a segmentation of the {instrument}.",
        "Which pixels belong to the {instrument}?",
        "Cut out the {instrument}.",
        "Draw the mask of the {instrument}.",
    ),
    "(Segment|Mask) the {instrument} (in this image|in the frame|pixel by pixel).",
    "(Give|Make|Return) a (binary mask|black and white mask) of the {instrument}.",
    "(Mark|Colour) (every pixel|all pixels) of the {instrument} in white.",
    "(Show|Predict) the (pixels|silhouette) of the {instrument}.",
)

ALL_INSTRUMENTS_SEGMENTATION = phrasings(
    (
        "Segment all instruments.",
        "Give the mask of the instruments.",
        "Paint the instruments white, the rest black.",
        "Mask every tool.",
        "Return a segmentation of the tools.",
        "Which pixels belong to instruments?",
        "Cut out all the tools.",
        "Draw the mask of all instruments.",
    ),
    "(Segment|Mask) (the instruments|all surgical tools) "
    "(in this image|in the frame|pixel by pixel).",
    "(Give|Make|Return) a (binary mask|black and white mask) of (all instruments|the tools).",
    "(Mark|Colour) (every pixel|all pixels) of (every instrument|the tools) in white.",
)

DEPTH_ESTIMATION = phrasings(
    (
        "Estimate the depth of this image.",
        "Give the depth map.",
        "How far away is each pixel?",
        "Predict the relative depth.",
        "Make a depth map of the frame.",
        "Return the depth as a grey image.",
        "Show the depth of the scene.",
        "Compute the depth of every pixel.",
    ),
    "(Estimate|Predict|Infer) the (depth|relative depth) of (the scene|this frame|every point).",
    "(Give|Make|Return) a (grey|one-channel) depth (map|image) of (this image|the view).",
    "(Render|Draw) the (distance|depth) from the camera as a grey image.",
)

DESMOKING = phrasings(
    (
        "Remove the smoke.",
        "Clear the smoke from this image.",
        "Show the scene without smoke.",
        "Desmoke the frame.",
        "Take the smoke out of the image.",
        "Make the view clear.",
        "Restore the image behind the smoke.",
        "Give the frame free of smoke.",
    ),
    "(Remove|Clear away) the [surgical ]smoke (from this frame|in the picture)"
    "[ and enhance its clarity].",
    "(Restore|Recover) (a clear view|the clean image) (of the scene|from this smoky frame).",
    "What (would|does) this (image|frame) look like without smoke?",
    "(Clean|Dehaze) (this|the) (smoky image|hazy frame).",
)

NEXT_FRAME = phrasings(  # {seconds}: how far ahead; {facts}: phase and step, or action and motion
    (
        "Show the frame after {seconds} seconds. {facts}",
        "Generate the view in {seconds} seconds. {facts}",
        "What does it look like {seconds} seconds later? {facts}",
        "Predict the frame {seconds} seconds ahead. {facts}",
        "Draw the scene {seconds} seconds from now. {facts}",
        "Make the frame at {seconds} seconds from this one. {facts}",
        "{facts} Show the view {seconds} seconds later.",
        "{facts} Predict the frame after {seconds} seconds.",
    ),
    "(Generate|Predict|Paint) the (image|frame|view) (that follows in|after another) "
    "{seconds} seconds. {facts}",
    "Given (this frame|the image), (what is seen|what will the camera see) "
    "in {seconds} seconds? {facts}",
    "{facts} (Generate|Imagine) the (image|picture) {seconds} seconds (ahead|later).",
)

VIDEO_GENERATION = phrasings(  # {caption}: what is to be seen
    (
        "Generate a clip: {caption}",
        "Make a video of this: {caption}",
        "Film the following: {caption}",
        "Show as a video: {caption}",
        "Turn the caption into a clip. {caption}",
        "Create surgical video. {caption}",
        "Render this description as video: {caption}",
        "Produce a clip in which this happens: {caption}",
    ),
    "(Generate|Create|Synthesise) a (surgical video|short clip) "
    "(that shows this|from this text|of the following): {caption}",
    "(Show me|Let me see) a (video|clip) of (this|what follows): {caption}",
    "{caption} (Make|Generate) a (video|clip) of (that|it).",
)

VIDEO_CONTINUATION = phrasings(  # {caption}: what is to be seen after the image
    (
        "Start from this image and generate a clip: {caption}",
        "Use the image as first frame. {caption}",
        "Continue the image as a video: {caption}",
        "Animate this frame: {caption}",
        "Bring the image to life: {caption}",
        "Let this frame go on as a clip: {caption}",
        "From this first frame, make a video: {caption}",
        "Film on from here: {caption}",
    ),
    "(Generate|Create|Synthesise) a (video|clip) that (starts with|begins at) this (image|frame)"
    ": {caption}",
    "(Take|Use) the (picture|frame) as (the start|the opening) of a (video|clip). {caption}",
    "{caption} (Make|Generate) a clip of it that starts at this image.",
)
